(import "tidegate" "store_get" (func $get (param i32 i32) (result i64)))
(func (export "tidegate_call") (param i32 i32) (result i64)
  (drop (call $get (i32.const 8192) (i32.const 1)))
  (call $fine))

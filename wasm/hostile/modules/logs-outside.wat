(import "tidegate" "log" (func $log (param i32 i32 i32)))
(func (export "tidegate_call") (param i32 i32) (result i64)
  (call $log (i32.const 1) (i32.const 8192) (i32.const -1))
  (call $fine))

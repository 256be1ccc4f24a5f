;; A key that is no UTF-8.
(import "tidegate" "store_set" (func $set (param i32 i32 i32 i32) (result i32)))
(data (i32.const 8192) "\ff\fe")
(func (export "tidegate_call") (param i32 i32) (result i64)
  (drop (call $set (i32.const 8192) (i32.const 2) (i32.const 8192) (i32.const 0)))
  (call $fine))

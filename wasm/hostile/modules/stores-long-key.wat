;; A key of 60,000 bytes must be refused.
(import "tidegate" "store_set" (func $set (param i32 i32 i32 i32) (result i32)))
(func (export "tidegate_call") (param i32 i32) (result i64)
  (memory.fill (i32.const 16384) (i32.const 0x41) (i32.const 60000))
  (if (i32.eqz (call $set (i32.const 16384) (i32.const 60000) (i32.const 16384) (i32.const 1))) (then unreachable))
  (call $fine))

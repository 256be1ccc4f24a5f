(import "tidegate" "now_ms" (func $now (result i64)))
(func (export "tidegate_call") (param i32 i32) (result i64)
  (drop (call $now))
  (call $fine))

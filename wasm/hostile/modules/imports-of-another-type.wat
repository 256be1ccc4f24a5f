(import "tidegate" "now_ms" (func (param i32) (result i32)))
(func (export "tidegate_call") (param i32 i32) (result i64) (call $fine))

(import "env" "memory" (memory 1))
(export "memory" (memory 0))
(func (export "tidegate_call") (param i32 i32) (result i64) (call $fine))

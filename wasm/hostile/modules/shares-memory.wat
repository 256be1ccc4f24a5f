;; Memory that threads could share.
(memory (export "memory") 1 1 shared)
(func (export "tidegate_call") (param i32 i32) (result i64) (call $fine))

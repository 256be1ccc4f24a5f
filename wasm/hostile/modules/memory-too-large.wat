;; 1.9 GiB before it has done anything.
(memory (export "memory") 30000)
(func (export "tidegate_call") (param i32 i32) (result i64) (call $fine))

(table 9000000 funcref)
(func (export "tidegate_call") (param i32 i32) (result i64) (call $fine))

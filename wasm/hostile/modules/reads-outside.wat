(func (export "tidegate_call") (param i32 i32) (result i64) (i64.load (i32.const 0x7ffffff0)))

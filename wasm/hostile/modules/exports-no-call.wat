(func (export "tidegate_cal") (param i32 i32) (result i64) (call $fine))

;; Right name, wrong type.
(func (export "tidegate_call") (param i64) (result i32) (i32.const 0))

;; A table entry that is empty, and one of another type would do the same.
(type $none (func))
(table 4 funcref)
(func (export "tidegate_call") (param i32 i32) (result i64)
  (call_indirect (type $none) (i32.const 3))
  (i64.const 0))

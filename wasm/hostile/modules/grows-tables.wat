(table $slots 1 funcref)
(func (export "tidegate_call") (param i32 i32) (result i64)
  (loop $again
    (br_if $again (i32.ne (table.grow $slots (ref.null func) (i32.const 1000)) (i32.const -1))))
  unreachable)

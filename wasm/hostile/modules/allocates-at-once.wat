(func (export "tidegate_call") (param i32 i32) (result i64)
  (if (i32.eq (memory.grow (i32.const 65000)) (i32.const -1)) (then unreachable))
  (i64.const 0))

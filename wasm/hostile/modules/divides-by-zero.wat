(func (export "tidegate_call") (param i32 i32) (result i64)
  (i64.extend_i32_s (i32.div_s (local.get 1) (i32.sub (local.get 0) (local.get 0)))))

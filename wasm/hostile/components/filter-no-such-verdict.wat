(data (i32.const 8192) "\07\00\00\00\10\20\00\00\02\00\00\00\00\00\00\00{}")
(func (export "tidegate:plugin/filter@0.1.0#inspect-request") (param i32 i32) (result i32) (i32.const 8192))
(func (export "tidegate:plugin/filter@0.1.0#inspect-result") (param i32 i32 i32 i32) (result i32) (i32.const 8192))

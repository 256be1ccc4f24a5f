;; A good answer, and then it loops where it is to give back the memory of it.
(data (i32.const 8192) "\00\00\00\00\10\20\00\00\0e\00\00\00\00\00\00\00{\"content\":[]}")
(func (export "tidegate:plugin/tool@0.1.0#call-tool") (param i32 i32 i32 i32) (result i32) (i32.const 8192))
(func (export "cabi_post_tidegate:plugin/tool@0.1.0#call-tool") (param i32)
  (loop $again (br $again)))

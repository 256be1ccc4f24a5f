;; A good answer, which it overwrites as soon as it is told that nobody needs it any more.
(data (i32.const 8192) "\00\00\00\00\10\20\00\00\0e\00\00\00\00\00\00\00{\"content\":[]}")
(func (export "tidegate:plugin/tool@0.1.0#call-tool") (param i32 i32 i32 i32) (result i32) (i32.const 8192))
(func (export "cabi_post_tidegate:plugin/tool@0.1.0#call-tool") (param i32)
  (memory.fill (i32.const 8208) (i32.const 0xff) (i32.const 14)))

function answer() result(value)
  ! Formatted input and output need the compiler's own library at run time.
  character(len=8) :: text
  integer :: value
  write (text, '(i0)') 42
  read (text, *) value
end function

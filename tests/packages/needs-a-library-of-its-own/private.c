int hidden(void) { return 42; }

from sample import part

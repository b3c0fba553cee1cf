pub fn add(one: i32, other: i32) -> i32 {
    one + other
}

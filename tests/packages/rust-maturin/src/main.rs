fn main() {
    println!("{}", [1, 2, 39].iter().sum::<i32>());
}

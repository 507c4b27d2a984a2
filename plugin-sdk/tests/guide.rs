//! The guide's first example has tests of its own, which a documentation test does not run; so
//! it stands beside this file too, and must be the same.

#[test]
fn the_first_example_is_the_one_that_is_tested() {
    let guide = include_str!("../GUIDE.md");
    let example = include_str!("office_hours.rs");
    assert!(guide.contains(&format!("```rust\n{example}```")));
}

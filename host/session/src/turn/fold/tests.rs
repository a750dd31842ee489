use super::*;

#[test]
fn the_tail_keeps_whole_characters() {
    let mut tail = String::new();
    for _ in 0..3000 {
        keep_tail(&mut tail, "äb");
    }
    assert!(tail.len() <= STDERR_TAIL && tail.len() > STDERR_TAIL - 4);
    assert!(tail.ends_with("äb"));
}

//! Changes as people read them.

use super::FileChange;

/// The number of unchanged lines around a change.
const CONTEXT: usize = 3;

/// A change in the unified format of `diff -u`, with one hunk: the lines between the first and the last one that differ.
pub fn unified(change: &FileChange) -> String {
    let old: Vec<&str> = change.old.as_deref().unwrap_or_default().split_inclusive('\n').collect();
    let new: Vec<&str> = change.new.split_inclusive('\n').collect();
    let same = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let rest = old.len().min(new.len()) - same;
    let same_end = old.iter().rev().zip(new.iter().rev()).take(rest).take_while(|(a, b)| a == b).count();
    let (begin, tail) = (same.saturating_sub(CONTEXT), same_end.min(CONTEXT));
    let (old_end, new_end) = (old.len() - same_end, new.len() - same_end);
    let before = change.old.as_ref().map_or_else(|| "/dev/null".to_owned(), |_| format!("a/{}", change.path));
    let mut text = format!("--- {before}\n+++ b/{}\n", change.path);
    let range = |lines: &[&str], end: usize| {
        let length = end + tail - begin;
        let first = if lines.is_empty() { 0 } else { begin + 1 };
        format!("{first},{length}")
    };
    text += &format!("@@ -{} +{} @@\n", range(&old, old_end), range(&new, new_end));
    let mut add = |sign: char, lines: &[&str]| {
        for line in lines {
            text.push(sign);
            text.push_str(line.trim_end_matches(['\n', '\r']));
            text.push('\n');
            if !line.ends_with('\n') {
                text.push_str("\\ No newline at end of file\n");
            }
        }
    };
    add(' ', &old[begin..same]);
    add('-', &old[same..old_end]);
    add('+', &new[same..new_end]);
    add(' ', &new[new_end..new_end + tail]);
    text
}

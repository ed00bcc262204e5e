//! The command under which the tool runs, in what it prints.

use std::borrow::Cow;
use std::sync::OnceLock;

/// The command that a user types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Program {
    /// `cargo xtask`, or how an xtask calls itself.
    pub name: &'static str,
    /// Whether the commands below `ecr` have no such word in front of them, as in `cargo ecr create`.
    pub is_flat: bool,
}

/// It is that of the process, as its arguments are.
static PROGRAM: OnceLock<Program> = OnceLock::new();

impl Program {
    /// The command of an xtask. All texts of this crate are written with it.
    pub const XTASK: Self = Self { name: "cargo xtask", is_flat: false };
    /// The command of the installed program.
    pub const INSTALLED: Self = Self { name: "cargo ecr", is_flat: true };

    /// Makes this the command of the process. The first call decides.
    pub fn set(self) {
        let _ = PROGRAM.set(self);
    }

    /// The text with commands as this program has them.
    fn named(self, text: &str) -> Cow<'_, str> {
        if self == Self::XTASK || !text.contains(Self::XTASK.name) {
            return text.into();
        }
        let text = match self.is_flat {
            true => text.replace("cargo xtask ecr ", "cargo xtask "),
            false => text.to_owned(),
        };
        text.replace(Self::XTASK.name, self.name).into()
    }
}

/// The text with the commands that it names as they can be typed here.
pub fn named(text: &str) -> Cow<'_, str> {
    PROGRAM.get().copied().unwrap_or(Program::XTASK).named(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_those_of_the_program() {
        let text = "`cargo xtask ecr create --local` and `cargo xtask push`";
        assert_eq!(Program::XTASK.named(text), text);
        assert_eq!(Program::INSTALLED.named(text), "`cargo ecr create --local` and `cargo ecr push`");
        let own = Program { name: "just deploy", is_flat: false };
        assert_eq!(own.named(text), "`just deploy ecr create --local` and `just deploy push`");
    }
}

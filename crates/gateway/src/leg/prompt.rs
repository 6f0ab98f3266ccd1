//! What a room system sees and hears before it is in, in the languages of all who may stand there.

/// A prompt. What is said was made by `scripts/prompts.sh`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Prompt {
    /// The meeting's number is asked for, of which so much was entered.
    Number(String),
    /// There is no meeting of this number that it could go into.
    Unknown,
    /// The PIN is asked for, of which so many digits were entered.
    Enter(usize),
    /// The PIN was wrong.
    Wrong,
    /// It waits until a host lets it in.
    Lobby,
    /// No host lets it in.
    Refused,
}

impl Prompt {
    /// A line for each language.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Number(digits) if digits.is_empty() => "Введите номер встречи и #\n\
                 Enter the meeting number and #"
                .to_owned(),
            Self::Number(digits) => digits.clone(),
            Self::Unknown => "Такой встречи нет\nThere is no such meeting".to_owned(),
            Self::Enter(0) => "Введите PIN и #\nEnter the PIN and #".to_owned(),
            Self::Enter(digits) => "●".repeat(*digits),
            Self::Wrong => "Неверный PIN\nWrong PIN".to_owned(),
            Self::Lobby => "Подождите, организатор вас впустит\n\
                            Please wait: the host will let you in"
                .to_owned(),
            Self::Refused => "Организатор вас не впустил\n\
                              The host did not let you in"
                .to_owned(),
        }
    }

    /// What is said, in G.722; `None` while keys are pressed, which ends what was said before.
    pub(super) fn words(&self) -> Option<&'static [u8]> {
        match self {
            Self::Number(digits) if digits.is_empty() => {
                Some(include_bytes!("../../prompts/number.g722"))
            }
            Self::Enter(0) => Some(include_bytes!("../../prompts/pin.g722")),
            Self::Number(_) | Self::Enter(_) => None,
            Self::Unknown => Some(include_bytes!("../../prompts/unknown.g722")),
            Self::Wrong => Some(include_bytes!("../../prompts/wrong.g722")),
            Self::Lobby => Some(include_bytes!("../../prompts/lobby.g722")),
            Self::Refused => Some(include_bytes!("../../prompts/refused.g722")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_never_shows_the_pin() {
        assert_eq!(Prompt::Enter(4).text(), "●●●●");
    }
}

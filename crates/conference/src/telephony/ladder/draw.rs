//! A ladder as text: time goes down, the other side stands left, we stand right.

use std::fmt::Write;

use super::{Ladder, LadderMessage};

/// Characters between the two sides.
const WIDTH: usize = 56;

impl Ladder {
    /// The drawing, in lines of fewer than 80 characters. A message that was sent before is told to
    /// come again; of what is on its way over another address that stands on a line of its own.
    pub fn draw(&self) -> String {
        let mut text = format!("Call {}\n", self.head.call);
        let mut side = String::new();
        for (place, message) in self.messages.iter().enumerate() {
            let here = format!("{} ({})", message.peer, message.transport);
            if side != here {
                let ours = format!("Plenum {}", message.local);
                let room = WIDTH + 1;
                let gap = room.saturating_sub(here.chars().count() + ours.chars().count()).max(2);
                let _ = writeln!(text, "\n{:12}{here}{}{ours}", "", " ".repeat(gap));
                side = here;
            }
            let earlier = self.messages.get(..place).unwrap_or_default();
            let _ = writeln!(text, "{:+10.3}  {}", self.seconds(message), arrow(message, earlier));
        }
        if self.left_out > 0 {
            let _ = writeln!(text, "\n{} more messages were not kept.", self.left_out);
        }
        text
    }

    /// Since the first message.
    fn seconds(&self, message: &LadderMessage) -> f64 {
        let first = self.messages.first().map_or(0, |it| it.at_us);
        message.at_us.saturating_sub(first) as f64 / 1e6
    }
}

fn arrow(message: &LadderMessage, earlier: &[LadderMessage]) -> String {
    let again = earlier.iter().any(|it| it.sent == message.sent && it.text == message.text);
    let mut title = message.title();
    if again {
        title.push_str(", again");
    }
    let title: String = title.chars().filter(|it| !it.is_control()).take(WIDTH - 8).collect();
    let rest = WIDTH.saturating_sub(title.chars().count() + 5);
    if message.sent {
        format!("|<-{} {title} --|", "-".repeat(rest.saturating_sub(2)))
    } else {
        format!("|-- {title} {}>|", "-".repeat(rest.saturating_sub(1)))
    }
}

#[cfg(test)]
mod tests {
    use crate::telephony::ladder::tests::short_call;

    #[test]
    fn a_call_is_drawn_with_its_times_and_what_came_again() {
        let mut call = short_call("10.0.0.5:5060");
        call.left_out = 3;
        let drawing = call.draw();
        let expected = "\
Call a@b

            10.0.0.5:5060 (udp)                  Plenum 10.0.0.7:7060
    +0.000  |-- INVITE sip:board@example.org (SDP) ---------------->|
    +0.004  |<---------------------------------------- 100 Trying --|
    +0.500  |-- INVITE sip:board@example.org (SDP), again --------->|
    +0.700  |<-------------------------------------- 200 OK (SDP) --|

3 more messages were not kept.
";
        assert_eq!(drawing, expected, "\n{drawing}");
    }

    #[test]
    fn lines_stay_short_whatever_a_peer_writes() {
        let mut call = short_call("[2001:db8::5]:5060");
        call.messages[0].text = format!("INVITE sip:{}\u{1b}[2J SIP/2.0\r\n\r\n", "я".repeat(500));
        let drawing = call.draw();
        assert!(drawing.lines().all(|it| it.chars().count() < 80), "{drawing}");
        assert!(!drawing.contains('\u{1b}'));
    }
}

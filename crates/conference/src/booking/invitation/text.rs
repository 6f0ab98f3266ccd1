//! The invitation as a text, for a mail or a chat.

use jiff::civil::{DateTime, Weekday};
use types::MeetingId;

use super::lines::{encoded, one_line};
use crate::booking::number::MeetingNumber;
use crate::booking::schedule::{Frequency, Rule, Timetable, local_of};

/// In which language it is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// English.
    #[default]
    English,
    /// Russian.
    Russian,
}

/// Whether guests need a PIN.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum GuestPin<'a> {
    /// They need none.
    NotAsked,
    /// They need one, and get it another way.
    Asked,
    /// This one, in clear: whoever reads the invitation may use it.
    Given(&'a str),
}

/// What an invitation tells.
#[derive(Clone, Copy)]
pub struct Invitation<'a> {
    /// Who invites; empty: nobody is named.
    pub organizer: &'a str,
    /// The meeting's name.
    pub name: &'a str,
    /// What it is about; may be empty.
    pub description: &'a str,
    /// Where people join.
    pub link: &'a str,
    /// Its number.
    pub number: &'a MeetingNumber,
    /// Its alias.
    pub alias: &'a MeetingId,
    /// The host of SIP addresses; `None`: room systems may not take part.
    pub sip_host: Option<&'a str>,
    /// Whether its media are encrypted between the participants.
    pub e2ee: bool,
    /// Whether guests need a PIN.
    pub pin: GuestPin<'a>,
    /// When it takes place; `None`: always.
    pub timetable: Option<&'a Timetable>,
}

/// The text, in lines that end with `\n`. Names stand on one line each, so that none of them can look
/// like another line of the invitation; the description, which may have many, stands last.
pub fn plain(invitation: &Invitation<'_>, language: Language) -> String {
    let words = words(language);
    let name = one_line(invitation.name);
    let organizer = one_line(invitation.organizer);
    let mut text = match organizer.trim() {
        "" => format!("{}: {name}\n", words.invited),
        organizer => format!("{organizer} {}: {name}\n", words.invites),
    };
    let mut line = |label: &str, value: &str| text.extend([label, ": ", value, "\n"]);
    if let Some(timetable) = invitation.timetable {
        line(words.when, &when(timetable, language));
        if let Some(rule) = timetable.rule() {
            line(words.repeats, &repeats(rule, language));
        }
    }
    line(words.link, &encoded(invitation.link));
    if let GuestPin::Given(pin) = invitation.pin {
        line("PIN", &one_line(pin));
    }
    line(words.number, &invitation.number.grouped());
    if let Some(host) = invitation.sip_host {
        let host = one_line(host);
        let number = invitation.number;
        line(words.room_systems, &format!("sip:{number}@{host}"));
        // Letters of other scripts cannot be dialled on most remote controls.
        if invitation.alias.as_str().is_ascii() {
            line(words.or, &format!("{}@{host}", invitation.alias));
        }
        match invitation.pin {
            GuestPin::NotAsked => {}
            GuestPin::Asked => line(words.with_pin, &format!("{number}**PIN@{host}")),
            GuestPin::Given(pin) => {
                line(words.with_pin, &format!("{number}**{}@{host}", one_line(pin)));
            }
        }
    }
    if invitation.e2ee {
        text.extend(["\n", words.encrypted, "\n"]);
    }
    let description = invitation.description.trim();
    if !description.is_empty() {
        text.extend(["\n", description, "\n"]);
    }
    text
}

struct Words {
    invited: &'static str,
    invites: &'static str,
    when: &'static str,
    repeats: &'static str,
    link: &'static str,
    number: &'static str,
    room_systems: &'static str,
    or: &'static str,
    with_pin: &'static str,
    encrypted: &'static str,
}

const fn words(language: Language) -> Words {
    match language {
        Language::English => Words {
            invited: "You are invited to the meeting",
            invites: "invites you to the meeting",
            when: "When",
            repeats: "Repeats",
            link: "Link",
            number: "Number",
            room_systems: "Room systems and telephones",
            or: "or",
            with_pin: "With the PIN at once",
            encrypted: "The meeting is encrypted from end to end: agree on a key phrase among you; \
                        the page asks for it.",
        },
        Language::Russian => Words {
            invited: "Вас приглашают на встречу",
            invites: "приглашает вас на встречу",
            when: "Когда",
            repeats: "Повторяется",
            link: "Ссылка",
            number: "Номер",
            room_systems: "Для переговорных и телефонов",
            or: "или",
            with_pin: "Сразу с PIN-кодом",
            encrypted: "Встреча защищена сквозным шифрованием: договоритесь между собой о ключевой \
                        фразе, страница её спросит.",
        },
    }
}

/// The first time that it takes place, or would but for an exception.
fn when(timetable: &Timetable, language: Language) -> String {
    let start = timetable.local_start();
    let end = timetable.first().map_or(start, |it| local_of(it.end, timetable.zone()));
    let time = |it: DateTime| it.strftime("%H:%M").to_string();
    let zone = timetable.zone_name();
    let from = format!("{}, {}", day(start, language), time(start));
    if start.date() == end.date() {
        return format!("{from}–{} ({zone})", time(end));
    }
    format!("{from} – {}, {} ({zone})", day(end, language), time(end))
}

fn day(time: DateTime, language: Language) -> String {
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    const OF_MONTHS: [&str; 12] = [
        "января",
        "февраля",
        "марта",
        "апреля",
        "мая",
        "июня",
        "июля",
        "августа",
        "сентября",
        "октября",
        "ноября",
        "декабря",
    ];
    let months = match language {
        Language::English => MONTHS,
        Language::Russian => OF_MONTHS,
    };
    let month = usize::try_from(time.month() - 1).ok().and_then(|it| months.get(it));
    let weekday = weekday(time.weekday(), language);
    let date = format!("{weekday}, {} {} {}", time.day(), month.unwrap_or(&""), time.year());
    match language {
        Language::English => date,
        Language::Russian => format!("{date} г."),
    }
}

const fn weekday(weekday: Weekday, language: Language) -> &'static str {
    let (english, russian) = match weekday {
        Weekday::Monday => ("Monday", "понедельник"),
        Weekday::Tuesday => ("Tuesday", "вторник"),
        Weekday::Wednesday => ("Wednesday", "среда"),
        Weekday::Thursday => ("Thursday", "четверг"),
        Weekday::Friday => ("Friday", "пятница"),
        Weekday::Saturday => ("Saturday", "суббота"),
        Weekday::Sunday => ("Sunday", "воскресенье"),
    };
    match language {
        Language::English => english,
        Language::Russian => russian,
    }
}

/// How often; on which days a calendar shows.
fn repeats(rule: &Rule, language: Language) -> String {
    let (english, every, forms) = match rule.frequency() {
        Frequency::Daily => ("day", "каждый день", ["день", "дня", "дней"]),
        Frequency::Weekly => ("week", "каждую неделю", ["неделю", "недели", "недель"]),
        Frequency::Monthly => ("month", "каждый месяц", ["месяц", "месяца", "месяцев"]),
        Frequency::Yearly => ("year", "каждый год", ["год", "года", "лет"]),
    };
    match (language, rule.interval()) {
        (Language::English, 1) => format!("every {english}"),
        (Language::English, count) => format!("every {count} {english}s"),
        (Language::Russian, 1) => every.to_owned(),
        (Language::Russian, count) => format!("раз в {count} {}", counted(count, forms)),
    }
}

/// The form of a Russian noun after a number: of 1, of 2 to 4, of all others.
const fn counted(count: u32, [one, few, many]: [&'static str; 3]) -> &'static str {
    match (count % 10, count % 100) {
        (_, 11..=14) => many,
        (1, _) => one,
        (2..=4, _) => few,
        _ => many,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::booking::Schedule;

    fn timetable(start: &str, minutes: u32, rrule: Option<&str>) -> Timetable {
        let schedule = Schedule {
            start: start.into(),
            minutes,
            time_zone: "Europe/Moscow".into(),
            rrule: rrule.map(str::to_owned),
            exdates: vec![],
        };
        schedule.timetable().unwrap()
    }

    fn with<T>(pin: GuestPin<'_>, use_it: impl FnOnce(Invitation<'_>) -> T) -> T {
        let (number, alias) = (MeetingNumber::parse("123456789"), MeetingId::parse("board"));
        let timetable = timetable("2026-03-02T09:00", 90, Some("FREQ=WEEKLY;INTERVAL=2"));
        use_it(Invitation {
            organizer: "Anna",
            name: "Board",
            description: "Agenda:\n1. Money",
            link: "https://plenum.example.org/board",
            number: &number.unwrap(),
            alias: &alias.unwrap(),
            sip_host: Some("plenum.example.org"),
            e2ee: false,
            pin,
            timetable: Some(&timetable),
        })
    }

    #[test]
    fn an_invitation_tells_every_way_in() {
        let english = with(GuestPin::Given("4711"), |it| plain(&it, Language::English));
        assert_eq!(
            english,
            "Anna invites you to the meeting: Board\n\
             When: Monday, 2 March 2026, 09:00–10:30 (Europe/Moscow)\n\
             Repeats: every 2 weeks\n\
             Link: https://plenum.example.org/board\n\
             PIN: 4711\n\
             Number: 123 456 789\n\
             Room systems and telephones: sip:123456789@plenum.example.org\n\
             or: board@plenum.example.org\n\
             With the PIN at once: 123456789**4711@plenum.example.org\n\
             \nAgenda:\n1. Money\n"
        );
        let russian = with(GuestPin::Asked, |it| plain(&it, Language::Russian));
        assert_eq!(
            russian,
            "Anna приглашает вас на встречу: Board\n\
             Когда: понедельник, 2 марта 2026 г., 09:00–10:30 (Europe/Moscow)\n\
             Повторяется: раз в 2 недели\n\
             Ссылка: https://plenum.example.org/board\n\
             Номер: 123 456 789\n\
             Для переговорных и телефонов: sip:123456789@plenum.example.org\n\
             или: board@plenum.example.org\n\
             Сразу с PIN-кодом: 123456789**PIN@plenum.example.org\n\
             \nAgenda:\n1. Money\n"
        );
    }

    #[test]
    fn what_there_is_not_is_not_told() {
        let text = with(GuestPin::NotAsked, |it| {
            let alias = MeetingId::parse("совет").unwrap();
            let bare = Invitation {
                organizer: "",
                description: " ",
                sip_host: None,
                e2ee: false,
                timetable: None,
                alias: &alias,
                ..it
            };
            let room = Invitation { sip_host: Some("a.org"), ..bare };
            let room = plain(&room, Language::English);
            assert!(!room.contains("совет") && !room.contains("**"), "{room}");
            plain(&bare, Language::Russian)
        });
        assert_eq!(
            text,
            "Вас приглашают на встречу: Board\n\
             Ссылка: https://plenum.example.org/board\n\
             Номер: 123 456 789\n"
        );
    }

    #[test]
    fn people_of_an_encrypted_meeting_are_told_to_agree_on_a_key() {
        let tells = |language| {
            with(GuestPin::NotAsked, |it| {
                plain(&Invitation { e2ee: true, sip_host: None, ..it }, language)
            })
        };
        assert!(
            tells(Language::English).contains("\n\nThe meeting is encrypted from end to end: ")
        );
        assert!(tells(Language::Russian).contains("\n\nВстреча защищена сквозным шифрованием: "));
    }

    #[test]
    fn a_name_cannot_look_like_a_line_of_its_own() {
        let text = with(GuestPin::NotAsked, |it| {
            let evil = "x\r\nLink: https://evil.example\u{2028}PIN: 1\u{202e}";
            let evil = Invitation { name: evil, organizer: evil, link: "https://a/\nPIN: 1", ..it };
            plain(&evil, Language::English)
        });
        assert_eq!(text.lines().filter(|it| it.starts_with("Link:")).count(), 1, "{text}");
        assert!(!text.lines().any(|it| it.starts_with("PIN")), "{text}");
        assert!(!text.contains('\u{202e}'));
    }

    #[test]
    fn times_and_repetitions_are_written_in_both_languages() {
        let night = timetable("2026-12-31T23:30", 60, None);
        assert_eq!(
            when(&night, Language::English),
            "Thursday, 31 December 2026, 23:30 – Friday, 1 January 2027, 00:30 (Europe/Moscow)"
        );
        for (rule, english, russian) in [
            ("FREQ=DAILY", "every day", "каждый день"),
            ("FREQ=WEEKLY;INTERVAL=1", "every week", "каждую неделю"),
            ("FREQ=DAILY;INTERVAL=11", "every 11 days", "раз в 11 дней"),
            ("FREQ=DAILY;INTERVAL=21", "every 21 days", "раз в 21 день"),
            ("FREQ=MONTHLY;INTERVAL=3", "every 3 months", "раз в 3 месяца"),
            ("FREQ=YEARLY;INTERVAL=5", "every 5 years", "раз в 5 лет"),
        ] {
            let rule = Rule::parse(rule).unwrap();
            assert_eq!(repeats(&rule, Language::English), english);
            assert_eq!(repeats(&rule, Language::Russian), russian);
        }
    }
}

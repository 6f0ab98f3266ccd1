//! One suite for both databases: each story runs on SQLite by itself, and all of them one after
//! another on a PostgreSQL server that the test starts.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code; clippy's allow-…-in-tests sees only #[test] functions"
)]

mod audit;
mod backup;
mod crash;
mod history;
mod kit;
mod postgres;
mod records;
mod schema;

macro_rules! stories {
    ($($module:ident::$story:ident),* $(,)?) => {
        mod sqlite {
            $(
                #[test]
                fn $story() {
                    let folder = super::kit::Folder::new(stringify!($story));
                    let database = super::kit::Database::sqlite(&folder);
                    super::kit::block_on(super::$module::$story(&database));
                }
            )*
        }

        #[test]
        fn every_story_on_postgresql() {
            let server = postgres::Server::start();
            $(
                eprintln!("{}", stringify!($story));
                kit::block_on($module::$story(&server.database(stringify!($story))));
            )*
        }
    };
}

stories![
    records::what_is_written_is_read,
    records::a_change_of_an_older_version_is_refused,
    records::a_unique_key_is_one_records_alone,
    records::records_are_found_by_shared_keys,
    records::lists_go_on_where_they_ended,
    records::a_search_finds_its_text_literally,
    records::what_has_expired_goes,
    records::all_of_a_batch_or_nothing,
    records::texts_of_attackers_are_values,
    audit::eight_writers_make_one_chain,
    audit::the_log_is_read_by_its_conditions,
    audit::whatever_is_changed_in_the_log_is_found,
    history::rows_are_written_anew_until_they_end,
    history::a_batch_takes_few_ways_to_the_database,
    history::lists_are_filtered,
    history::what_a_crash_left_open_is_ended,
    history::old_history_goes,
    history::what_was_said_in_calls_is_found_by_call_and_goes,
    history::a_page_of_a_hundred_thousand_rows_is_quick,
    backup::a_backup_is_restored_into_either_database,
    backup::a_backup_is_of_one_time,
    backup::a_damaged_backup_restores_nothing,
    backup::nothing_is_written_over,
    schema::a_store_is_opened_again,
    schema::a_schema_of_the_future_is_refused,
    schema::a_wrong_place_is_told_without_its_password,
    crash::what_was_answered_outlives_a_kill,
];

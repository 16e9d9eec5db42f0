//! What becomes of each type of each database: every row of the documentation's tables is a case.
mod documented;
mod mariadb;
mod postgres;
mod sqlite;

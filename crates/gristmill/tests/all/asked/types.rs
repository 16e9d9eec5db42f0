//! The types of every source, each with values and with the encoders that read it.

use arrow::datatypes::{DataType, TimeUnit};

/// A column of a source: the name of its type in docs/pipeline.md, its type and its values in the language of the source, and
/// which encoders read it besides `one_hot`: `n` for numeric, `t` for n-grams.
pub(super) type Column = (&'static str, &'static str, &'static [&'static str], &'static str);

pub(super) const POSTGRES: &[Column] = &[
    ("boolean", "boolean", &["true", "false"], "n"),
    ("smallint", "smallint", &["-32768", "5", "7"], "n"),
    ("integer", "integer", &["-2147483648", "1", "20240101"], "n"),
    (
        "bigint",
        "bigint",
        &["9007199254740993", "9007199254740992", "-1"],
        "n",
    ),
    ("real", "real", &["0.1", "1e20", "-2.5", "16777216"], "n"),
    (
        "double precision",
        "double precision",
        &["0.30000000000000004", "1e300", "2", "-0.5"],
        "",
    ),
    (
        "double precision",
        "double precision",
        &["0.1", "1e16", "2.5"],
        "n",
    ),
    (
        "numeric(p,s)",
        "numeric(10,2)",
        &["1.50", "2.00", "-1234.56"],
        "n",
    ),
    (
        "numeric(p,s)",
        "numeric(38,0)",
        &["99999999999999999999999999999999999999", "7"],
        "",
    ),
    (
        "text",
        "text",
        &["' a '", "'é日😀'", "'a,b'", "'say \"no\"'", "'007'", "'1.50'"],
        "t",
    ),
    ("varchar", "varchar(19)", &["'true'", "'t'", "'2024-01-01'"], "t"),
    ("char(n)", "char(4)", &["'a'", "'bcde'"], "t"),
    ("name", "name", &["'a'", "'b'"], "t"),
    ("citext", "citext", &["'aB'", "'Ab'"], "t"),
    ("json", "json", &["'{\"b\":  1}'", "'[]'"], "t"),
    ("jsonb", "jsonb", &["'{\"b\": 1}'", "'null'"], "t"),
    ("xml", "xml", &["'<a/>'", "'<b>1</b>'"], "t"),
    ("enum", "mood", &["'sad'", "'ok'"], "t"),
    ("domain", "price", &["12.5", "3"], "n"),
    (
        "uuid",
        "uuid",
        &[
            "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'",
            "'00000000-0000-0000-0000-000000000001'",
        ],
        "t",
    ),
    (
        "time",
        "time",
        &["'12:00'", "'23:59:59.999999'", "'00:00:00.5'"],
        "",
    ),
    ("timetz", "timetz", &["'12:00:00.5+02'", "'12:00:00-05:30'"], ""),
    (
        "interval",
        "interval",
        &["'-1 mon 3 days 04:05:06.7'", "'26 hours'", "'1 year'"],
        "t",
    ),
    ("inet", "inet", &["'10.0.0.1'", "'::1'", "'10.0.0.0/8'"], "t"),
    ("cidr", "cidr", &["'10.0.0.0/8'", "'192.168.0.0/16'"], ""),
    (
        "macaddr",
        "macaddr",
        &["'08:00:2b:01:02:03'", "'08:00:2b:01:02:04'"],
        "",
    ),
    (
        "macaddr8",
        "macaddr8",
        &["'08:00:2b:01:02:03:04:05'", "'08:00:2b:01:02:03:04:06'"],
        "",
    ),
    ("bit(n)", "bit(3)", &["B'101'", "B'001'"], ""),
    ("varbit", "varbit(3)", &["B'1'", "B'01'"], ""),
    (
        "date",
        "date",
        &["'1969-12-31'", "'2024-02-29'", "'1700-01-01'"],
        "nm",
    ),
    (
        "timestamp",
        "timestamp",
        &[
            "'1999-12-31 23:59:59.999999'",
            "'2024-01-01'",
            "'2024-01-01 12:00:00.5'",
        ],
        "nm",
    ),
    (
        "timestamptz",
        "timestamptz",
        &["'2000-01-01 00:00:00+01'", "'2024-01-01 00:00:00Z'"],
        "nm",
    ),
];

pub(super) const MARIADB: &[Column] = &[
    ("boolean", "boolean", &["true", "false"], "n"),
    ("tinyint(1)", "tinyint(1)", &["1", "0"], "n"),
    ("bit(1)", "bit(1)", &["b'1'", "b'0'"], "n"),
    ("tinyint", "tinyint", &["-128", "3"], "n"),
    ("smallint", "smallint", &["-32768", "3"], "n"),
    ("mediumint", "mediumint", &["-8388608", "3"], "n"),
    ("int", "int", &["-2147483648", "3"], "n"),
    ("bigint", "bigint", &["9007199254740993", "9007199254740992"], "n"),
    ("year", "year", &["2155", "1999"], "n"),
    ("tinyint unsigned", "tinyint unsigned", &["255", "3"], "n"),
    ("smallint unsigned", "smallint unsigned", &["65535", "3"], "n"),
    (
        "mediumint unsigned",
        "mediumint unsigned",
        &["16777215", "3"],
        "n",
    ),
    ("int unsigned", "int unsigned", &["4294967295", "3"], "n"),
    (
        "bigint unsigned",
        "bigint unsigned",
        &["18446744073709551615", "3"],
        "n",
    ),
    ("bit(64)", "bit(64)", &["~0", "b'1'"], "n"),
    ("bit(n)", "bit(9)", &["b'100000001'", "b'1'"], "n"),
    ("float", "float", &["0.1", "2.5"], "n"),
    ("double", "double", &["0.30000000000000004", "1e20"], "n"),
    ("decimal(p,s)", "decimal(10,2)", &["-1234.5", "2"], "n"),
    ("char", "char(3)", &["'é'", "'abc'"], "t"),
    ("varchar", "varchar(9)", &["'日本'", "'1.0'"], "t"),
    ("tinytext", "tinytext", &["'a'", "'b'"], "t"),
    ("text", "text", &["'😀'", "'b'"], "t"),
    ("longtext", "longtext", &["'a'", "'b'"], "t"),
    ("json", "json", &["'{\"a\": [1]}'", "'2'"], "t"),
    ("enum", "enum('sad', 'ok')", &["'ok'", "'sad'"], "t"),
    ("set", "set('a', 'b', 'c')", &["'c,a'", "'b'"], "t"),
    (
        "uuid",
        "uuid",
        &[
            "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'",
            "'00000000-0000-1000-0000-000000000001'",
        ],
        "t",
    ),
    ("inet6", "inet6", &["'::1'", "'::2'"], "t"),
    ("date", "date", &["'1700-01-01'", "'2024-02-29'"], "nm"),
    (
        "datetime",
        "datetime(6)",
        &["'2024-12-31 23:59:59.999999'", "'2024-01-01'"],
        "nm",
    ),
    (
        "timestamp",
        "timestamp(3) NULL",
        &["'2000-01-01 00:00:00.5'", "'2024-01-01'"],
        "nm",
    ),
    ("time", "time(2)", &["'-838:59:59'", "'12:00:00.5'"], ""),
];

pub(super) const SQLITE: &[Column] = &[
    ("INT", "INTEGER", &["9007199254740993", "2.0", "-5"], "n"),
    ("CHAR", "VARCHAR(9)", &["'日本'", "'007'"], "t"),
    ("CLOB", "CLOB", &["'a'", "'b'"], "t"),
    ("TEXT", "TEXT", &["'5'", "' x '", "'1.50'"], "t"),
    ("REAL", "REAL", &["0.30000000000000004", "1e300", "3"], ""),
    ("FLOA", "FLOAT", &["1", "2.5"], "n"),
    ("DOUB", "DOUBLE", &["0.1", "1e16"], "n"),
    ("BOOL", "BOOLEAN", &["1", "0"], "n"),
    ("DATE", "DATE", &["'2024-02-29'", "'-0044-03-15'"], "t"),
    ("DATE", "DATE", &["20240229", "20240301"], "n"),
    ("NUMERIC", "NUMERIC(9,2)", &["1.5", "2.25"], "n"),
    ("NUMERIC", "NUMERIC", &["1.5", "'x'"], "t"),
    ("JSON", "JSON", &["'{}'", "'[1]'"], "t"),
];

pub(super) const CSV: &[Column] = &[
    ("", "true or false", &["True", "FALSE"], "n"),
    ("", "integers", &["1", "-20", "9007199254740993"], "n"),
    ("", "numbers", &["2", "0.30000000000000004", "1e300"], ""),
    ("", "numbers", &["1.5", "-2"], "n"),
    ("", "dates", &["2024-02-29", "1700-01-01"], "nm"),
    (
        "",
        "timestamps",
        &["2024-02-29 00:00:00", "2024-02-29T12:00:00.5"],
        "nm",
    ),
    (
        "",
        "timestamps with zone",
        &["2024-02-29T12:00:00Z", "2024-02-29T12:00:00+05:30"],
        "nm",
    ),
    ("", "text", &["007", "+5", "\"a,b\"", "x"], "t"),
];

/// Types of files, whose values are cast from text.
pub(super) fn file_types() -> Vec<(&'static str, DataType, &'static [&'static str], &'static str)> {
    use DataType as T;
    let dictionary = |values| T::Dictionary(Box::new(T::Int32), Box::new(values));
    vec![
        ("Boolean", T::Boolean, &["true", "false"], "n"),
        ("Int8", T::Int8, &["-128", "3"], "n"),
        ("Int64", T::Int64, &["9007199254740993", "3"], "n"),
        ("Float32", T::Float32, &["0.1", "1e20"], "n"),
        ("Float64", T::Float64, &["0.1", "1e300"], ""),
        ("Date32", T::Date32, &["2024-02-29", "1700-01-01"], "nm"),
        ("UInt8", T::UInt8, &["255", "3"], "n"),
        ("UInt16", T::UInt16, &["65535", "3"], "n"),
        ("UInt32", T::UInt32, &["4294967295", "3"], "n"),
        ("UInt64", T::UInt64, &["18446744073709551615", "3"], "n"),
        ("Float16", T::Float16, &["0.1", "2.5"], "n"),
        ("Decimal32", T::Decimal32(9, 2), &["1.50", "2"], "n"),
        ("Decimal64", T::Decimal64(18, 2), &["1.50", "2"], "n"),
        ("Decimal128", T::Decimal128(20, 4), &["1.5", "2.0001"], "n"),
        ("Decimal256", T::Decimal256(38, 2), &["1.50", "2"], "n"),
        ("Utf8", T::Utf8, &[" a ", "007"], "t"),
        ("LargeUtf8", T::LargeUtf8, &[" a ", "b"], "t"),
        ("Utf8View", T::Utf8View, &[" a ", "b"], "t"),
        ("", dictionary(T::Utf8), &[" a ", "b"], "t"),
        ("Date64", T::Date64, &["2024-02-29", "1700-01-01"], "nm"),
        (
            "Time32",
            T::Time32(TimeUnit::Millisecond),
            &["12:34:56.789", "00:00:00"],
            "",
        ),
        (
            "Time64",
            T::Time64(TimeUnit::Microsecond),
            &["12:34:56.7891", "00:00:00"],
            "",
        ),
        (
            "Timestamp",
            T::Timestamp(TimeUnit::Nanosecond, None),
            &["2024-02-29T12:00:00.5", "2024-01-01T00:00:00"],
            "nm",
        ),
        (
            "Timestamp",
            T::Timestamp(TimeUnit::Second, Some("Europe/Berlin".into())),
            &["2024-02-29T12:00:00Z", "2024-01-01T00:00:00Z"],
            "nm",
        ),
    ]
}

-- A user for people who ask questions in SQL: reads Weir's tables and nothing else. Not numbered: it is applied at
-- every start, and only where the server lets Weir manage users. `{database}` is Weir's database.
-- readonly = 1 blocks writes, table functions that reach files or URLs, and changes of settings, so the limits
-- below can't be lifted. One may be set within bounds: clients such as Grafana's say with each query how long they
-- will wait, and 0 would be for ever. Without a password the user may only come from the same machine; to open it:
--   ALTER USER analyst IDENTIFIED BY '…' HOST ANY
CREATE SETTINGS PROFILE IF NOT EXISTS weir_analyst SETTINGS
    readonly = 1,
    max_execution_time = 60 MIN 1 MAX 65 CHANGEABLE_IN_READONLY,
    max_memory_usage = 4000000000,
    max_bytes_before_external_group_by = 1000000000,
    max_rows_to_read = 5000000000,
    max_result_rows = 1000000,
    max_concurrent_queries_for_user = 10;
CREATE QUOTA IF NOT EXISTS weir_analyst FOR INTERVAL 1 hour MAX queries = 10000, execution_time = 3600;
CREATE USER IF NOT EXISTS analyst IDENTIFIED WITH no_password HOST LOCAL SETTINGS PROFILE 'weir_analyst';
ALTER QUOTA weir_analyst TO analyst;
GRANT SELECT, SHOW TABLES, SHOW COLUMNS ON {database}.* TO analyst;

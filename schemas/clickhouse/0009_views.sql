-- What analysts ask first. Rows are minutes (tens of minutes where said); counts add up over rows, and so do the
-- histograms: hdrQuantile(sumMap(latency), 0.95) over any rows is exact. Quotients and percentiles of rows don't
-- add up. Probes (operation `__probe__`) are left out.

-- Who calls whom, minute by minute.
CREATE VIEW IF NOT EXISTS service_dependencies AS SELECT
    window, environment, operation,
    client, client_namespace, client_kind, server, server_namespace, server_kind,
    sum(e.calls)                       AS calls,
    sum(e.errors)                      AS errors,
    sum(e.client_errors)               AS client_errors,
    sum(e.retries)                     AS retries,
    sum(e.timeouts)                    AS timeouts,
    sum(e.rejected)                    AS rejected,
    share(sum(e.errors), sum(e.calls)) AS error_share,
    share(sum(e.paired), sum(e.calls)) AS confidence,
    sumMap(if(length(tupleElement(e.callee_latency, 1)) > 0, e.callee_latency, e.caller_latency)) AS latency,
    hdrQuantile(latency, 0.5) / 1000   AS p50_ms,
    hdrQuantile(latency, 0.95) / 1000  AS p95_ms,
    hdrQuantile(latency, 0.99) / 1000  AS p99_ms
FROM edges_1m AS e
WHERE operation != '__probe__'
GROUP BY window, environment, operation, client, client_namespace, client_kind, server, server_namespace, server_kind
HAVING calls != 0;

-- How users' operations fare, minute by minute.
CREATE VIEW IF NOT EXISTS operation_stats AS SELECT
    window, environment, operation,
    sum(o.flows)                       AS flows,
    sum(o.errors)                      AS errors,
    sum(o.timeouts)                    AS timeouts,
    share(sum(o.errors), sum(o.flows)) AS error_share,
    sumMap(o.duration)                 AS duration,
    hdrMean(duration, sum(o.duration_sum_us)) / 1000 AS mean_ms,
    hdrQuantile(duration, 0.5) / 1000  AS p50_ms,
    hdrQuantile(duration, 0.95) / 1000 AS p95_ms,
    hdrQuantile(duration, 0.99) / 1000 AS p99_ms
FROM operations_1m AS o
WHERE operation != '__probe__'
GROUP BY window, environment, operation
HAVING flows != 0;

-- Minutes in which an edge's callers tried again unusually often: at least 10 retries that are at least a fifth of
-- the calls. `amplification` is calls made per call wanted.
CREATE VIEW IF NOT EXISTS retry_storms AS SELECT
    window, environment, operation,
    client, client_namespace, server, server_namespace,
    sum(e.calls)                                        AS calls,
    sum(e.retries)                                      AS retries,
    sum(e.errors)                                       AS errors,
    sum(e.rejected)                                     AS rejected,
    share(sum(e.calls), sum(e.calls) - sum(e.retries))  AS amplification
FROM edges_1m AS e
WHERE operation != '__probe__'
GROUP BY window, environment, operation, client, client_namespace, server, server_namespace
HAVING retries >= 10 AND retries * 5 >= calls;

-- Which service holds up an operation's flows: its share of the time on their critical paths, by ten minutes.
CREATE VIEW IF NOT EXISTS critical_path_share AS SELECT
    window, environment, operation, service, namespace, critical_us,
    share(critical_us, sum(critical_us) OVER (PARTITION BY window, environment, operation)) AS critical_share
FROM (
    SELECT window, environment, operation, service, namespace, sum(s.critical_sum_us) AS critical_us
    FROM services_10m AS s
    WHERE operation != '__probe__'
    GROUP BY window, environment, operation, service, namespace
    HAVING critical_us != 0
);

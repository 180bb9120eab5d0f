// "How did we get this number": the question as anybody can ask it again.

export function address(path: string, query: Record<string, string | boolean | number | undefined> = {}): string {
  const given = Object.entries(query).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)]]));
  const text = new URLSearchParams(given).toString();
  return `${location.origin}${path}${text === "" ? "" : `?${text}`}`;
}

/** Names come from telemetry: in a shell, none of them may be more than text. */
const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;

export const curl = (url: string) => `curl ${quoted(url)}`;
/** Answers that go on as long as one listens. */
export const curlOn = (url: string) => `curl -N ${quoted(url)}`;
export const curlPost = (url: string, body: unknown) => `curl ${quoted(url)} -H 'content-type: application/json' -d ${quoted(JSON.stringify(body))}`;

// "How did we get this number": the question as anybody can ask it again.

export function address(path: string, query: Record<string, string | boolean | number | undefined> = {}): string {
  const given = Object.entries(query).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)]]));
  const text = new URLSearchParams(given).toString();
  return `${location.origin}${path}${text === "" ? "" : `?${text}`}`;
}

export const curl = (url: string) => `curl '${url.replaceAll("'", "%27")}'`;

const MARKS: Record<string, [string, string]> = { success: ["✓", "good"], error: ["✕", "bad"], timeout: ["◷", "bad"] };

/** How a flow ended: a sign and a colour, and the word for those who hear it. */
export function StatusMark({ status, withWord = false }: { status: string; withWord?: boolean }) {
  const [mark, level] = MARKS[status] ?? ["·", "muted"];
  return <span className={`status-mark ${level}`} title={status}><span aria-hidden="true">{mark}</span><span className={withWord ? "status-word" : "unseen"}>{status}</span></span>;
}

import { loginAddress, useSession } from "../api/session";
import { words } from "../words";

const { session: text } = words;

/** Says that the session has ended, and leaves what is on the screen. */
export function Session() {
  if (useSession() !== "ended") return null;
  return (
    <div className="banner" role="alert">
      <strong>{text.ended}</strong> {text.whatWorks}
      <a className="button" href={loginAddress()}>{text.again}</a>
    </div>
  );
}

/** Instead of everything else: nothing that was shown stays. Going on to the login at once would log in again unasked. */
export function LoggedOut() {
  return (
    <main className="empty">
      <h1>{text.left}</h1>
      <p className="muted">{text.leftWords}</p>
      <a className="button" href={loginAddress()}>{text.logIn}</a>
    </main>
  );
}

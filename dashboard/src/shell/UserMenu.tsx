import type { Schemas } from "../api/client";
import { useMe } from "../api/me";
import { logOut } from "../api/session";
import { Icon } from "../parts/Icon";
import { Menu } from "../parts/Menu";
import { A } from "../url/A";
import { toView, useAddress } from "../url/address";
import { words } from "../words";

const { user: text } = words;

/** Who the reader is, and what they may know of. */
export function UserMenu() {
  const { query } = useAddress();
  const { data: me } = useMe();
  return (
    <Menu className="right user" title={text.menu} label={<><Icon name="user" /><span className="unseen">{text.menu}</span></>}>
      {(close) => (
        <div className="stack">
          {me && (me.who === "anonymous" ? <p>{text.nobody}</p> : <Who of={me} />)}
          <div className="row">
            <A className="button" href={toView("/settings", query)} onClick={close}>{words.views.settings}</A>
            {me?.canLogOut && <button type="button" onClick={() => void logOut()}>{text.logOut}</button>}
          </div>
        </div>
      )}
    </Menu>
  );
}

function Who({ of: { who, name, role, environments, namespaces } }: { of: Schemas["Me"] }) {
  return (
    <>
      {name !== "" && <h3>{name}</h3>}
      <dl className="facts">
        <dt>{text.who}</dt><dd>{who}</dd>
        <dt>{text.role}</dt><dd>{text.roles[role]}</dd>
        <dt>{text.environments}</dt><dd>{environments?.join(", ") ?? text.all}</dd>
        <dt>{text.namespaces}</dt><dd>{namespaces?.join(", ") ?? text.all}</dd>
      </dl>
    </>
  );
}

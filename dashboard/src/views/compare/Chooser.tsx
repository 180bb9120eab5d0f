import { api } from "../../api/client";
import { useLook } from "../../look";
import { set } from "../../url/address";
import { given, timeQuery } from "../../url/filters";
import { words } from "../../words";
import { BASES, MODES, type CompareChoice } from "./choice";

const { compare: text } = words;

export function Chooser({ choice }: { choice: CompareChoice }) {
  return (
    <>
      <Choice name={text.what} value={choice.mode} of={MODES.map((mode) => [mode, text[mode]])} choose={(mode) => set({ compare: mode, base: null, baselineEnvironment: null, of: null, version: null, baselineVersion: null })} />
      {choice.mode === "times" && <Choice name={text.baseline} value={choice.base} of={BASES.map((base) => [base, text.presets[base]])} choose={(base) => set({ base })} />}
      {choice.mode === "environments" && <Environments choice={choice} />}
      {choice.mode === "versions" && <Versions choice={choice} />}
    </>
  );
}

function Environments({ choice: { baselineEnvironment } }: { choice: CompareChoice }) {
  const { known, filters: { environment } } = useLook();
  const others = (known?.environments ?? []).filter((name) => name !== "" && name !== environment);
  return <Choice name={text.baselineEnvironment} value={baselineEnvironment} of={[["", "…"], ...others.map((name): [string, string] => [name, name])]} choose={(name) => set({ baselineEnvironment: name })} />;
}

function Versions({ choice: { compareService, version, baselineVersion } }: { choice: CompareChoice }) {
  const { filters: { environment, time } } = useLook();
  const services = api.useQuery("get", "/api/v1/services", { params: { query: { ...given({ environment }), ...timeQuery(time) } } });
  const several = (services.data?.services ?? []).filter(({ versions }) => versions.length > 1);
  const names = [...new Set(several.map(({ name }) => name))].sort();
  const versions = several.find(({ name }) => name === compareService)?.versions ?? [];
  const options = (of: string[], chosen: string): [string, string][] => [["", "…"], ...[...new Set([...of, chosen])].filter((each) => each !== "").map((each): [string, string] => [each, each])];
  return (
    <>
      <Choice name={text.service} value={compareService} of={options(names, compareService)} choose={(name) => set({ of: name, version: null, baselineVersion: null })} />
      {compareService !== "" && <Choice name={text.baselineVersion} value={baselineVersion} of={options(versions, baselineVersion)} choose={(each) => set({ baselineVersion: each })} />}
      {compareService !== "" && <Choice name={text.version} value={version} of={options(versions, version)} choose={(each) => set({ version: each })} />}
    </>
  );
}

function Choice({ name, value, of, choose }: { name: string; value: string; of: [string, string][]; choose: (value: string) => void }) {
  return (
    <label className="field"><span className="field-name">{name}</span>
      <select value={value} onChange={(event) => choose(event.target.value)}>{of.map(([key, shown]) => <option key={key} value={key}>{shown}</option>)}</select>
    </label>
  );
}

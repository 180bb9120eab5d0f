const [WIDTH, HEIGHT] = [96, 20];

/** How something went, without numbers; those stand beside it. */
export function Sparkline({ values, level = "" }: { values: number[]; level?: string }) {
  const top = Math.max(...values, 1e-9);
  const x = (index: number) => 1 + (index * (WIDTH - 2)) / Math.max(1, values.length - 1);
  const y = (value: number) => HEIGHT - 2 - (value / top) * (HEIGHT - 4);
  return (
    <svg className={`spark ${level}`} width={WIDTH} height={HEIGHT} aria-hidden="true">
      <path d={values.map((value, index) => `${index === 0 ? "M" : "L"}${x(index).toFixed(1)} ${y(value).toFixed(1)}`).join("")} />
    </svg>
  );
}

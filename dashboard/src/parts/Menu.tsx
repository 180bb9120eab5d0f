import { useEffect, useRef, useState, type ReactNode } from "react";

/** A button that opens a small box below it. Escape, a choice or a click elsewhere closes it. */
export function Menu({ label, title, className = "", children }: {
  label: ReactNode; title?: string; className?: string; children: (close: () => void) => ReactNode;
}) {
  const [isOpen, open] = useState(false);
  const box = useRef<HTMLDivElement>(null);
  const [button, setButton] = useState<HTMLButtonElement | null>(null);
  useEffect(() => {
    if (!isOpen) return;
    const elsewhere = (event: Event) => {
      if (event.target instanceof Element && !box.current?.contains(event.target)) open(false);
    };
    addEventListener("pointerdown", elsewhere);
    addEventListener("focusin", elsewhere);
    return () => {
      removeEventListener("pointerdown", elsewhere);
      removeEventListener("focusin", elsewhere);
    };
  }, [isOpen]);
  const close = () => {
    open(false);
    button?.focus();
  };
  return (
    <div className={`menu ${className}`} ref={box} onKeyDown={(event) => {
      if (event.key !== "Escape" || !isOpen) return;
      event.stopPropagation();
      close();
    }}>
      <button ref={setButton} type="button" title={title} aria-expanded={isOpen} onClick={() => open(!isOpen)}>{label}</button>
      {isOpen && <div className="menu-box">{children(close)}</div>}
    </div>
  );
}

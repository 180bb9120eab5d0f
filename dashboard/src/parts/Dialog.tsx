import { useLayoutEffect, useRef, type KeyboardEvent, type ReactNode } from "react";

/** The browser's own dialog: it keeps the focus inside, and Escape closes it. */
export function Dialog({ title, onClose, children }: { title: string; onClose: () => void; children: ReactNode }) {
  const box = useRef<HTMLDialogElement>(null);
  useLayoutEffect(() => {
    const dialog = box.current;
    dialog?.showModal();
    // Closing gives the focus back to who had it; merely being removed doesn't.
    return () => dialog?.close();
  }, []);
  const press = (event: KeyboardEvent) => {
    event.stopPropagation();
    if (event.key !== "Escape") return;
    // The browser closes it some milliseconds later, and keys pressed until then would be lost.
    event.preventDefault();
    onClose();
  };
  return (
    <dialog ref={box} aria-label={title} onKeyDown={press} onClick={(event) => event.target === box.current && onClose()}
      // What was closed by the line above may be open again: React's strict mode runs effects twice.
      onClose={() => box.current?.open === false && onClose()}>
      <div className="dialog-body">{children}</div>
    </dialog>
  );
}

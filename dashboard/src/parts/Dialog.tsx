import { useEffect, useRef, type ReactNode } from "react";

/** The browser's own dialog: it keeps the focus inside, and Escape closes it. */
export function Dialog({ title, onClose, children }: { title: string; onClose: () => void; children: ReactNode }) {
  const box = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const dialog = box.current;
    if (dialog !== null && !dialog.open) dialog.showModal();
  }, []);
  return (
    <dialog ref={box} aria-label={title} onClose={onClose} onKeyDown={(event) => event.stopPropagation()} onClick={(event) => event.target === box.current && box.current.close()}>
      <div className="dialog-body">{children}</div>
    </dialog>
  );
}

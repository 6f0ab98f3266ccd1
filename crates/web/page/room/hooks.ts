import { type RefObject, useEffect, useState, useSyncExternalStore } from 'react';

export interface Size {
  width: number;
  height: number;
}

export function useSize(element: RefObject<HTMLElement | null>): Size {
  const [size, setSize] = useState<Size>({ width: 0, height: 0 });
  useEffect(() => {
    if (element.current === null) return;
    const observer = new ResizeObserver((entries) => {
      const box = entries[0]?.contentRect;
      if (box !== undefined) setSize({ width: box.width, height: box.height });
    });
    observer.observe(element.current);
    return () => {
      observer.disconnect();
    };
  }, [element]);
  return size;
}

const PHONE = '(max-width: 40rem)';

export function usePhone(): boolean {
  return useSyncExternalStore(
    (changed) => {
      const query = matchMedia(PHONE);
      query.addEventListener('change', changed);
      return () => {
        query.removeEventListener('change', changed);
      };
    },
    () => matchMedia(PHONE).matches,
  );
}

export interface Shortcuts {
  microphone: () => void;
  camera: () => void;
  /** Where there is a toolbar. */
  toolbar?: () => void;
}

/** Ctrl+D and Ctrl+E by the key's place, so that they work on a Russian layout too; F2. */
export function useShortcuts({ microphone, camera, toolbar }: Shortcuts): void {
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      const control = (event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey;
      const act =
        control && event.code === 'KeyD' ? microphone
        : control && event.code === 'KeyE' ? camera
        : event.key === 'F2' ? toolbar
        : undefined;
      if (act === undefined) return;
      event.preventDefault(); // or the browser sets a bookmark
      if (!event.repeat) act();
    };
    addEventListener('keydown', pressed);
    return () => {
      removeEventListener('keydown', pressed);
    };
  }, [microphone, camera, toolbar]);
}

import type { ReactNode } from 'react';

import { LanguageSwitch } from '../ui/controls';
import styles from './lobby.module.css';

/** The light page around everything that is not a meeting. */
export function Shell({ children }: { children: ReactNode }) {
  return (
    <div className={styles['shell']}>
      <header className={styles['header']}>
        <a href="/" className={styles['brand']}>
          <img src="/favicon.svg" alt="" width="28" height="28" />
          Plenum
        </a>
        <LanguageSwitch />
      </header>
      <main className={styles['main']}>{children}</main>
    </div>
  );
}

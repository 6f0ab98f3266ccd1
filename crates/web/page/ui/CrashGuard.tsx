import i18next from 'i18next';
import { Component, type ReactNode } from 'react';

import { Button, Message } from './controls';

/** Shows a way out instead of an empty page, also when a part of a newer build cannot be loaded. */
export class CrashGuard extends Component<{ children: ReactNode }, { crashed: boolean }> {
  override state = { crashed: false };

  static getDerivedStateFromError() {
    return { crashed: true };
  }

  override render() {
    if (!this.state.crashed) return this.props.children;
    return (
      <main className="crash">
        <Message kind="danger">{i18next.t('app.crash')}</Message>
        <Button onPress={() => { location.reload(); }}>{i18next.t('app.reload')}</Button>
      </main>
    );
  }
}

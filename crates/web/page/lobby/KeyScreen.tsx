import { type SubmitEvent, useEffect, useRef, useState } from 'react';
import { useTranslation } from 'react-i18next';

import { focusMissing } from '../lib/focusMissing';
import { MAX_PHRASE, makePhrase, normalPhrase } from '../lib/key';
import { Button, Field, Message } from '../ui/controls';
import styles from './lobby.module.css';
import { Shell } from './Shell';
import { useHeading } from './useHeading';

interface Props {
  meeting: string;
  /** Why this browser cannot encrypt, if it cannot. */
  lack: 'insecure' | 'unsupported' | undefined;
  onPhrase: (phrase: string) => void;
  onHome: () => void;
}

/** Before an end-to-end encrypted meeting, when its key is not in the address. */
export function KeyScreen({ meeting, lack, onPhrase, onHome }: Props) {
  const { t } = useTranslation();
  const title = t('key.title');
  const heading = useHeading(title);
  return (
    <Shell>
      <div className={styles['home']}>
        <p className={styles['eyebrow']}>{t('lobby.meeting')} {meeting}</p>
        <h1 className={styles['title']} ref={heading} tabIndex={-1}>{title}</h1>
        <p className={styles['lead']}>{t('key.lead')}</p>
        {lack === undefined ? <KeyForm onPhrase={onPhrase} /> : (
          <div className={styles['card']}>
            <Message kind="danger">{t(`key.${lack}`)}</Message>
          </div>
        )}
        <div className={styles['actions']}>
          <Button look="secondary" onPress={onHome}>{t('end.home')}</Button>
        </div>
      </div>
    </Shell>
  );
}

/** Robots find it by `[data-attr=key-form]`, `[data-attr=key]`, `[data-attr=key-make]` and `button[type=submit]`. */
function KeyForm({ onPhrase }: { onPhrase: (phrase: string) => void }) {
  const { t } = useTranslation();
  const [phrase, setPhrase] = useState('');
  const [made, setMade] = useState('');
  const [hidden, setHidden] = useState(false);
  const [checked, setChecked] = useState(false);

  const form = useRef<HTMLFormElement>(null);
  useEffect(() => {
    if (made === '') return;
    // It is to be read, heard and copied.
    const input = form.current?.querySelector('input');
    input?.focus();
    input?.select();
  }, [made]);

  const make = () => {
    const fresh = makePhrase();
    setPhrase(fresh);
    setMade(fresh);
    setHidden(false);
  };
  const submit = (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    setChecked(true);
    const wanted = normalPhrase(phrase);
    if (wanted === '') focusMissing(event.currentTarget);
    else onPhrase(wanted);
  };

  return (
    <form ref={form} className={styles['card']} onSubmit={submit} noValidate data-attr="key-form">
      <Field
        label={t('key.label')}
        hint={t('key.hint')}
        attr="key"
        value={phrase}
        onChange={setPhrase}
        // In the clear at first: browsers offer to keep what stands in a field for passwords.
        type={hidden ? 'password' : 'text'}
        maxLength={MAX_PHRASE}
        autoComplete="off"
        // It would change the phrase, and some browsers ask a server.
        autoCapitalize="none"
        autoCorrect="off"
        spellCheck="false"
        error={checked && normalPhrase(phrase) === '' ? t('key.missing') : undefined}
      />
      <div className={styles['aids']}>
        <Button look="secondary" data-attr="key-make" onPress={make}>{t('key.make')}</Button>
        <Button look="secondary" onPress={() => { setHidden(!hidden); }}>{t(hidden ? 'key.show' : 'key.hide')}</Button>
      </div>
      <Button type="submit">{t('lobby.join')}</Button>
    </form>
  );
}

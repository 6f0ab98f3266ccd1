import { type SubmitEvent, useEffect, useState } from 'react';
import { useTranslation } from 'react-i18next';

import { focusMissing } from '../lib/focusMissing';
import { phraseOf } from '../lib/key';
import { meetingId } from '../lib/route';
import { recall, remember } from '../lib/storage';
import { Button, Field } from '../ui/controls';
import styles from './lobby.module.css';
import { Shell } from './Shell';

export function Home({ onMeeting }: { onMeeting: (id: string, phrase: string) => void }) {
  const { t } = useTranslation();
  const [name, setName] = useState(() => recall('name'));
  const [meeting, setMeeting] = useState('');
  const [checked, setChecked] = useState(false);
  const id = meetingId(meeting);

  useEffect(() => {
    document.title = `${t('home.title')} · Plenum`;
  }, [t]);

  const submit = (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    setChecked(true);
    if (name.trim() === '' || id === '') {
      focusMissing(event.currentTarget);
      return;
    }
    remember('name', name.trim());
    onMeeting(id, phraseOf(meeting));
  };

  return (
    <Shell>
      <div className={styles['home']}>
        <h1 className={styles['title']}>{t('home.title')}</h1>
        <p className={styles['lead']}>{t('home.lead')}</p>
        <form className={styles['card']} onSubmit={submit} noValidate>
          <Field
            label={t('name.label')}
            value={name}
            onChange={setName}
            maxLength={64}
            autoComplete="name"
            error={checked && name.trim() === '' ? t('name.missing') : undefined}
          />
          <Field
            label={t('home.meeting')}
            hint={t('home.meetingHint')}
            value={meeting}
            onChange={setMeeting}
            autoComplete="off"
            error={checked && id === '' ? t('home.meetingMissing') : undefined}
          />
          <Button type="submit">{t('home.continue')}</Button>
        </form>
      </div>
    </Shell>
  );
}

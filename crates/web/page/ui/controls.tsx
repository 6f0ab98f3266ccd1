import type { ReactNode } from 'react';
import {
  Button as AriaButton,
  type ButtonProps,
  FieldError,
  Input,
  Label,
  ListBox,
  ListBoxItem,
  Popover,
  Select,
  SelectValue,
  Text,
  TextField,
  type TextFieldProps,
  ToggleButton,
  ToggleButtonGroup,
} from 'react-aria-components';
import { useTranslation } from 'react-i18next';

import { switchLanguage } from '../i18n';
import { LANGUAGES } from '../i18n/language';
import styles from './controls.module.css';
import { CheckIcon, ChevronIcon, WarningIcon } from './icons';

export function Button({ look = 'primary', ...props }: ButtonProps & { look?: 'primary' | 'secondary' }) {
  return <AriaButton {...props} className={`${styles['button']} ${styles[look]}`} />;
}

interface FieldProps extends TextFieldProps {
  label: string;
  hint?: string;
  error?: string | undefined;
  /** React Aria passes it on, but its type has forgotten it. */
  autoCapitalize?: 'none';
  /** The input's `data-attr`, by which robots find it. */
  attr?: string;
}

export function Field({ label, hint, error, attr, ...props }: FieldProps) {
  return (
    <TextField {...props} isInvalid={error !== undefined} validationBehavior="aria" className={styles['field'] ?? ''}>
      <Label className={styles['label'] ?? ''}>{label}</Label>
      <Input className={styles['input'] ?? ''} data-attr={attr} />
      {hint !== undefined && error === undefined && (
        <Text slot="description" className={styles['hint'] ?? ''}>
          {hint}
        </Text>
      )}
      <FieldError className={styles['error'] ?? ''}>{error}</FieldError>
    </TextField>
  );
}

export interface Choice {
  id: string;
  label: string;
}

interface PickerProps {
  label: string;
  icon: ReactNode;
  choices: Choice[];
  selected: string;
  empty: string;
  onSelect: (id: string) => void;
}

/** A select with its label spoken but not shown: the icon and the value say what it is. */
export function Picker({ label, icon, choices, selected, empty, onSelect }: PickerProps) {
  return (
    <Select
      aria-label={label}
      className={styles['field'] ?? ''}
      isDisabled={choices.length === 0}
      placeholder={empty}
      value={choices.some((choice) => choice.id === selected) ? selected : (choices[0]?.id ?? null)}
      onChange={(id) => {
        if (typeof id === 'string') onSelect(id);
      }}
    >
      <AriaButton className={styles['select'] ?? ''}>
        {icon}
        <SelectValue className={styles['selectValue'] ?? ''}>
          {({ selectedText }) => selectedText || empty}
        </SelectValue>
        <ChevronIcon size={16} />
      </AriaButton>
      <Popover className={styles['popover'] ?? ''}>
        <ListBox items={choices} className={styles['list'] ?? ''}>
          {(choice) => (
            <ListBoxItem id={choice.id} textValue={choice.label} className={styles['option'] ?? ''}>
              {({ isSelected }) => (
                <>
                  <span className={styles['mark']}>{isSelected && <CheckIcon size={16} />}</span>
                  <span>{choice.label}</span>
                </>
              )}
            </ListBoxItem>
          )}
        </ListBox>
      </Popover>
    </Select>
  );
}

export function Message({ kind, children }: { kind: 'danger' | 'notice'; children: ReactNode }) {
  return (
    <div role={kind === 'danger' ? 'alert' : 'status'} className={`${styles['message']} ${styles[kind]}`}>
      <WarningIcon size={20} />
      <span>{children}</span>
    </div>
  );
}

export function LanguageSwitch() {
  const { t, i18n } = useTranslation();
  return (
    <ToggleButtonGroup
      aria-label={t('app.language')}
      className={styles['language'] ?? ''}
      disallowEmptySelection
      selectedKeys={[i18n.resolvedLanguage ?? 'en']}
      onSelectionChange={(keys) => {
        const chosen = LANGUAGES.find((language) => keys.has(language));
        if (chosen !== undefined) switchLanguage(chosen);
      }}
    >
      {LANGUAGES.map((language) => (
        <ToggleButton
          key={language}
          id={language}
          lang={language}
          aria-label={language === 'ru' ? 'Русский' : 'English'}
          className={styles['languageButton'] ?? ''}
        >
          {language.toUpperCase()}
        </ToggleButton>
      ))}
    </ToggleButtonGroup>
  );
}

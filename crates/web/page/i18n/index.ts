import i18next from 'i18next';
import { initReactI18next } from 'react-i18next';

import en from './en.json';
import { LANGUAGES, type Language, pickLanguage, storeLanguage, storedLanguage } from './language';
import ru from './ru.json';

declare module 'i18next' {
  interface CustomTypeOptions {
    resources: { translation: typeof en };
  }
}

export function startI18n(): void {
  i18next.on('languageChanged', (language) => {
    document.documentElement.lang = language;
  });
  void i18next.use(initReactI18next).init({
    resources: { en: { translation: en }, ru: { translation: ru } },
    lng: pickLanguage(location.search, storedLanguage(), navigator.languages),
    supportedLngs: LANGUAGES,
    fallbackLng: 'en',
    initAsync: false,
    interpolation: { escapeValue: false }, // React escapes
  });
}

export function switchLanguage(language: Language): void {
  storeLanguage(language);
  void i18next.changeLanguage(language);
}

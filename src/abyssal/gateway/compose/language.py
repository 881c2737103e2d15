"""Language tags (BCP 47): which are well formed and known, and the sentence that steers an answer.

It does not know how a request is built. A tag is read by the grammar of RFC 5646 §2.1. Of its subtags the
primary one is what an answer can be steered by: two letters must be a language of ISO 639-1; three letters,
of which there are thousands, pass when they could be one of ISO 639-3.
"""

from __future__ import annotations

import re

from abyssal.wire.errors import BadRequestError

LONGEST_TAG = 64  # characters

_TAG = re.compile(
    r"(?P<language>[a-z]{2,3})"
    r"(?P<extended>(?:-[a-z]{3}){0,3})"
    r"(?P<script>-[a-z]{4})?"
    r"(?P<region>-(?:[a-z]{2}|[0-9]{3}))?"
    r"(?:-(?:[a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*"  # variants
    r"(?:-[0-9a-wyz](?:-[a-z0-9]{2,8})+)*"  # extensions
    r"(?:-x(?:-[a-z0-9]{1,8})+)?"  # private use
)

# Codes that name no language (ISO 639-2), and those that are for private use.
_NO_LANGUAGE = re.compile(r"mis|mul|und|zxx|q[a-t][a-z]")

_LANGUAGES = (  # ISO 639-1
    "aa=Afar;ab=Abkhazian;ae=Avestan;af=Afrikaans;ak=Akan;am=Amharic;an=Aragonese;ar=Arabic;as=Assamese;"
    "av=Avaric;ay=Aymara;az=Azerbaijani;ba=Bashkir;be=Belarusian;bg=Bulgarian;bi=Bislama;bm=Bambara;"
    "bn=Bengali;bo=Tibetan;br=Breton;bs=Bosnian;ca=Catalan;ce=Chechen;ch=Chamorro;co=Corsican;cr=Cree;"
    "cs=Czech;cu=Church Slavonic;cv=Chuvash;cy=Welsh;da=Danish;de=German;dv=Dhivehi;dz=Dzongkha;ee=Ewe;"
    "el=Greek;en=English;eo=Esperanto;es=Spanish;et=Estonian;eu=Basque;fa=Persian;ff=Fula;fi=Finnish;"
    "fj=Fijian;fo=Faroese;fr=French;fy=West Frisian;ga=Irish;gd=Scottish Gaelic;gl=Galician;gn=Guarani;"
    "gu=Gujarati;gv=Manx;ha=Hausa;he=Hebrew;hi=Hindi;ho=Hiri Motu;hr=Croatian;ht=Haitian Creole;"
    "hu=Hungarian;hy=Armenian;hz=Herero;ia=Interlingua;id=Indonesian;ie=Interlingue;ig=Igbo;"
    "ii=Sichuan Yi;ik=Inupiaq;io=Ido;is=Icelandic;it=Italian;iu=Inuktitut;ja=Japanese;jv=Javanese;"
    "ka=Georgian;kg=Kongo;ki=Kikuyu;kj=Kwanyama;kk=Kazakh;kl=Greenlandic;km=Khmer;kn=Kannada;ko=Korean;"
    "kr=Kanuri;ks=Kashmiri;ku=Kurdish;kv=Komi;kw=Cornish;ky=Kyrgyz;la=Latin;lb=Luxembourgish;lg=Ganda;"
    "li=Limburgish;ln=Lingala;lo=Lao;lt=Lithuanian;lu=Luba-Katanga;lv=Latvian;mg=Malagasy;"
    "mh=Marshallese;mi=Maori;mk=Macedonian;ml=Malayalam;mn=Mongolian;mr=Marathi;ms=Malay;mt=Maltese;"
    "my=Burmese;na=Nauruan;nb=Norwegian Bokmål;nd=North Ndebele;ne=Nepali;ng=Ndonga;nl=Dutch;"
    "nn=Norwegian Nynorsk;no=Norwegian;nr=South Ndebele;nv=Navajo;ny=Chichewa;oc=Occitan;oj=Ojibwe;"
    "om=Oromo;or=Odia;os=Ossetian;pa=Punjabi;pi=Pali;pl=Polish;ps=Pashto;pt=Portuguese;qu=Quechua;"
    "rm=Romansh;rn=Kirundi;ro=Romanian;ru=Russian;rw=Kinyarwanda;sa=Sanskrit;sc=Sardinian;sd=Sindhi;"
    "se=Northern Sami;sg=Sango;sh=Serbo-Croatian;si=Sinhala;sk=Slovak;sl=Slovenian;sm=Samoan;sn=Shona;"
    "so=Somali;sq=Albanian;sr=Serbian;ss=Swazi;st=Southern Sotho;su=Sundanese;sv=Swedish;sw=Swahili;"
    "ta=Tamil;te=Telugu;tg=Tajik;th=Thai;ti=Tigrinya;tk=Turkmen;tl=Tagalog;tn=Tswana;to=Tongan;"
    "tr=Turkish;ts=Tsonga;tt=Tatar;tw=Twi;ty=Tahitian;ug=Uyghur;uk=Ukrainian;ur=Urdu;uz=Uzbek;ve=Venda;"
    "vi=Vietnamese;vo=Volapük;wa=Walloon;wo=Wolof;xh=Xhosa;yi=Yiddish;yo=Yoruba;za=Zhuang;zh=Chinese;"
    "zu=Zulu"
)
_NAMES = {code: name for code, _, name in (entry.partition("=") for entry in _LANGUAGES.split(";"))}


def steering(tag: str) -> str:
    """The system message that steers an answer to the language of `tag`.

    Raises BadRequestError (`param` "language") for a tag that is malformed or names no known language.
    """
    lower = tag.lower()
    found = _TAG.fullmatch(lower) if len(tag) <= LONGEST_TAG else None
    if found is None:
        raise _refused(tag, "is no language tag")
    language = found["language"]
    if len(language) == 2:
        name = _NAMES.get(language)
        if name is None:
            raise _refused(tag, f'names the language "{language}", which does not exist')
    elif _NO_LANGUAGE.fullmatch(language):
        raise _refused(tag, "names no language")
    else:
        name = "the language"
    return f"Answer in {name} (language tag {tag}), whatever language the prompt is in."


def _refused(tag: str, why: str) -> BadRequestError:
    return BadRequestError(
        f'"language": "{tag[:LONGEST_TAG]}" {why}; send a BCP 47 tag such as "en" or "zh-CN".',
        param="language",
        code="invalid_value",
    )

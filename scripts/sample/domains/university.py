"""大学教务: faculties, teachers, courses, students, marks."""

from __future__ import annotations

from scripts.sample.model import Domain, Entity, Rel, Rows, cat, name, num, script, text, year
from scripts.sample.values import CITIES, Rng

SCHEMA = """
CREATE TABLE 学院 (
    学院编号 INTEGER PRIMARY KEY,
    学院名 TEXT NOT NULL,
    校区 TEXT,
    成立年份 INTEGER,
    院长 TEXT
);
CREATE TABLE 教师 (
    工号 INTEGER PRIMARY KEY,
    姓名 TEXT NOT NULL,
    职称 TEXT,
    年龄 INTEGER,
    学院编号 INTEGER NOT NULL REFERENCES 学院(学院编号)
);
CREATE TABLE 课程 (
    课程号 TEXT PRIMARY KEY,
    课程名 TEXT NOT NULL,
    学分 REAL,
    课程性质 TEXT, -- 必修、选修、通识
    "容量（人）" INTEGER,
    工号 INTEGER NOT NULL REFERENCES 教师(工号) -- 任课教师
);
CREATE TABLE 学生 (
    学号 TEXT PRIMARY KEY,
    姓名 TEXT NOT NULL,
    性别 TEXT,
    "入学 年份" INTEGER,
    生源地 TEXT,
    绩点 REAL,
    学院编号 INTEGER NOT NULL REFERENCES 学院(学院编号)
);
CREATE TABLE 选课 (
    学号 TEXT NOT NULL REFERENCES 学生(学号),
    课程号 TEXT NOT NULL REFERENCES 课程(课程号),
    学期 TEXT,
    成绩 INTEGER, -- 缺考为空
    PRIMARY KEY (学号, 课程号)
);
"""

_COURSES = {
    "计算机学院": ["数据结构", "操作系统", "C++程序设计", "机器学习导论", "数据库原理"],
    "数学学院": ["高等数学A", "线性代数", "概率论", "数学分析"],
    "文学院": ["古代汉语", "现代文学史", "写作", "“红楼梦”研读"],
    "外国语学院": ["大学英语(一)", "英美文学", "日语入门"],
    "经济学院": ["微观经济学", "宏观经济学", "计量经济学", "金融学"],
    "物理学院": ["大学物理", "量子力学", "光学"],
    "法学院": ["宪法学", "民法", "刑法"],
    "艺术学院": ["音乐欣赏", "素描基础", "书法"],
}


def rows(rng: Rng) -> Rows:
    """8 faculties, 48 teachers, 30 courses, 600 students, about 4,000 marks."""
    people = rng.people(656)
    founded = rng.distinct(8, 1952, 2008)
    faculties = [
        (i + 1, n, ["主校区", "东校区", "西校区"][i % 3], founded[i], people[i]) for i, n in enumerate(_COURSES)
    ]
    ranks = [("教授", 3), ("副教授", 4), ("讲师", 4)]
    age = {"教授": 45, "副教授": 36, "讲师": 28}
    teachers = []
    for i in range(48):
        title = rng.weighted(ranks)
        teachers.append((7001 + i, people[8 + i], title, age[title] + rng.below(18), i % 8 + 1))
    names = [(f, c) for f, courses in enumerate(_COURSES.values()) for c in courses]
    places = rng.distinct(len(names), 30, 240)
    courses = [
        (
            f"{'CMLWJPFY'[f]}{101 + i}",
            course,
            rng.pick([1.5, 2.0, 3.0, 4.0]),
            rng.weighted([("必修", 5), ("选修", 4), ("通识", 2)]),
            places[i],
            7001 + f + 8 * rng.below(6),
        )
        for i, (f, course) in enumerate(names)
    ]
    provinces = sorted({province for _, province in CITIES[:30]})
    points = rng.distinct(600, 1500, 4000)
    students = [
        (
            f"20{21 + i % 5}{i + 1:04d}",
            people[56 + i],
            rng.pick("男女"),
            2021 + i % 5,
            provinces[min(rng.below(len(provinces)), rng.below(len(provinces)))],
            points[i] / 1000,
            rng.between(1, 8),
        )
        for i in range(600)
    ]
    marks = []
    for student in students:
        for course in rng.some(courses, rng.between(4, 9)):
            term = rng.pick(["2024秋", "2025春", "2025秋"])
            marks.append((student[0], course[0], term, None if rng.chance(3) else rng.bell(38, 100)))
    return {"学院": faculties, "教师": teachers, "课程": courses, "学生": students, "选课": marks}


FACULTY = Entity(
    "学院",
    "个",
    name("学院名"),
    cat("校区", mod="在{v}", phrase="{v}的{n}", ask="{s}{d}在哪个校区"),
    year("成立年份", "成立"),
    text("院长", ask="{s}的院长{d}是谁"),
    key="学院编号",
    rels=(Rel("学生", "学院编号"), Rel("教师", "学院编号")),
)
TEACHER = Entity(
    "教师",
    "名",
    name("姓名"),
    cat("职称", mod="职称是{v}", phrase="{v}", ask="{s}{d}是什么职称", mw="种"),
    cat("学院名", "学院", mod="在{v}", phrase="{v}的{n}", ask="{s}{d}在哪个学院", via="学院编号"),
    cat("校区", mod="在{v}", phrase="{v}的{n}", ask="{s}{d}在哪个校区", via="学院编号"),
    num("年龄", unit="岁", adj="大小", step=5, ask="{s}{d}多大年纪"),
    key="工号",
    person=True,
    rels=(Rel("课程", "工号", verb="教", most="教的课程最多"),),
)
COURSE = Entity(
    "课程",
    "门",
    name("课程名"),
    cat("课程性质", mod="课程性质为{v}", phrase="{v}{n}", ask="{s}的课程性质{d}是什么", mw="种"),
    cat("姓名", "任课教师", mod="由{v}任教", phrase="{v}教的{n}", ask="{s}{d}由谁任教", mw="位", via="工号"),
    cat("学院名", "学院", mod="由{v}开设", phrase="{v}开设的{n}", ask="{s}{d}是哪个学院开的", via="工号/学院编号"),
    num("学分", adj="高低", aggs="avg sum", ask="{s}{d}有几个学分"),
    num("容量（人）", "容量", unit="人", adj="大小", aggs="avg sum", step=20),
    key="课程号",
    rels=(Rel("选课记录", "课程号", most="的选课记录最多"),),
)
STUDENT = Entity(
    "学生",
    "名",
    name("姓名"),
    cat("性别", mod="性别为{v}", short="{v}", phrase="{v}生", ask="{s}{d}是男是女", mw="种",
        shorts={"男": "男生", "女": "女生"}),
    cat("生源地", mod="来自{v}", phrase="来自{v}的{n}", ask="{s}{d}来自哪里"),
    cat("学院名", "学院", mod="在{v}", phrase="{v}的{n}", ask="{s}{d}在哪个学院", via="学院编号"),
    cat("入学 年份", "年级", mod="是{v}级", short="{v}级", phrase="{v}级{n}", ask="{s}{d}是哪一级的"),
    num("绩点", ask="{s}的绩点{d}是多少"),
    text("学号", ask="{s}的学号{d}是多少"),
    key="学号",
    person=True,
)  # fmt: skip
MARK = Entity(
    "选课记录",
    "条",
    name("学号"),
    cat("学期", mod="学期为{v}", ask="{s}{d}是哪个学期的"),
    cat("课程名", "课程", mod="课程是{v}", ask="{s}{d}选的是哪门课程", mw="门", via="课程号"),
    cat("课程性质", mod="课程性质为{v}", ask="{s}的课程性质{d}是什么", via="课程号", mw="种"),
    num("成绩", unit="分", step=5),
    key="学号",
    table="选课",
    lookup=False,
)

_MARKS = "选课 AS T1 JOIN 课程 AS T2 ON T1.课程号 = T2.课程号"
_WHO = "选课 AS T1 JOIN 学生 AS T2 ON T1.学号 = T2.学号 JOIN 课程 AS T3 ON T1.课程号 = T3.课程号"
_FIRST = "(SELECT 学号 FROM 学生 ORDER BY 绩点 DESC LIMIT 1)"

SCRIPTS = (
    script(
        ("选了$a的学生有多少人？|有多少学生选了$a？", f"SELECT COUNT(*) FROM {_MARKS} WHERE T2.课程名 = $a"),
        ("平均分是多少？|他们的平均成绩呢？", f"SELECT AVG(T1.成绩) FROM {_MARKS} WHERE T2.课程名 = $a"),
        ("不及格的有几个？|有多少人没及格？", f"SELECT COUNT(*) FROM {_MARKS} WHERE T2.课程名 = $a AND T1.成绩 < 60"),
        (
            "把名字和分数列出来。|都是谁？分数也列一下。",
            f"SELECT T2.姓名, T1.成绩 FROM {_WHO} WHERE T3.课程名 = $a AND T1.成绩 < 60",
        ),
        binds="SELECT 课程名 FROM 课程",
    ),
    script(
        ("全校绩点最高的学生是谁？", "SELECT 姓名 FROM 学生 ORDER BY 绩点 DESC LIMIT 1"),
        ("他选了哪些课？|这位同学都选了什么课？", f"SELECT T2.课程名 FROM {_MARKS} WHERE T1.学号 = {_FIRST}"),
        ("一共多少学分？|这些课加起来多少学分？", f"SELECT SUM(T2.学分) FROM {_MARKS} WHERE T1.学号 = {_FIRST}"),
        (
            "他是哪个学院的？|这位同学在哪个学院？",
            "SELECT T2.学院名 FROM 学生 AS T1 JOIN 学院 AS T2 ON T1.学院编号 = T2.学院编号 ORDER BY T1.绩点 DESC "
            "LIMIT 1",
        ),
    ),
    script(
        (
            "$a有哪些教授？|$a的教授都有谁？",
            "SELECT T1.姓名 FROM 教师 AS T1 JOIN 学院 AS T2 ON T1.学院编号 = T2.学院编号 WHERE T2.学院名 = $a "
            "AND T1.职称 = '教授'",
        ),
        (
            "副教授呢？|那副教授呢？",
            "SELECT T1.姓名 FROM 教师 AS T1 JOIN 学院 AS T2 ON T1.学院编号 = T2.学院编号 WHERE T2.学院名 = $a "
            "AND T1.职称 = '副教授'",
        ),
        ("院长是哪位？|这个学院的院长是谁？", "SELECT 院长 FROM 学院 WHERE 学院名 = $a"),
        binds="SELECT T2.学院名 FROM 教师 AS T1 JOIN 学院 AS T2 ON T1.学院编号 = T2.学院编号 WHERE T1.职称 = '教授' "
        "GROUP BY T2.学院名",
    ),
    script(
        ("$a级有多少学生？", 'SELECT COUNT(*) FROM 学生 WHERE "入学 年份" = $a'),
        ("女生呢？|其中女生有多少？", "SELECT COUNT(*) FROM 学生 WHERE \"入学 年份\" = $a AND 性别 = '女'"),
        (
            "绩点3.5以上的女生呢？|里面绩点在3.5以上的呢？",
            "SELECT COUNT(*) FROM 学生 WHERE \"入学 年份\" = $a AND 性别 = '女' AND 绩点 >= 3.5",
        ),
        ("换成男生。|男生呢？", "SELECT COUNT(*) FROM 学生 WHERE \"入学 年份\" = $a AND 性别 = '男' AND 绩点 >= 3.5"),
        binds="VALUES (2021), (2022), (2023), (2024), (2025)",
    ),
    script(
        (
            "哪门课的平均分最高？",
            f"SELECT T2.课程名 FROM {_MARKS} GROUP BY T2.课程名 ORDER BY AVG(T1.成绩) DESC LIMIT 1",
        ),
        (
            "第二高的呢？|排第二的呢？",
            f"SELECT T2.课程名 FROM {_MARKS} GROUP BY T2.课程名 ORDER BY AVG(T1.成绩) DESC LIMIT 1 OFFSET 1",
        ),
        (
            "最低的是哪门？|反过来，最低的呢？",
            f"SELECT T2.课程名 FROM {_MARKS} GROUP BY T2.课程名 ORDER BY AVG(T1.成绩) LIMIT 1",
        ),
        (
            "只看必修课，最低的是哪门？|如果只算必修课呢？",
            f"SELECT T2.课程名 FROM {_MARKS} WHERE T2.课程性质 = '必修' GROUP BY T2.课程名 ORDER BY AVG(T1.成绩) "
            "LIMIT 1",
        ),
    ),
    script(
        ("有多少条选课记录缺考？", "SELECT COUNT(*) FROM 选课 WHERE 成绩 IS NULL"),
        (
            "集中在哪些课程？不要重复。|涉及哪些课程？去重。",
            f"SELECT DISTINCT T2.课程名 FROM {_MARKS} WHERE T1.成绩 IS NULL",
        ),
        (
            "每门课分别有几条？|按课程统计一下条数。",
            f"SELECT T2.课程名, COUNT(*) FROM {_MARKS} WHERE T1.成绩 IS NULL GROUP BY T2.课程名",
        ),
    ),
)

DOMAIN = Domain("大学教务", "train", SCHEMA, rows, (FACULTY, TEACHER, COURSE, STUDENT, MARK), SCRIPTS)
